"""The routers of this door, for app.py."""

from airfreight.apis.platform import products

ROUTERS = [products.router]
