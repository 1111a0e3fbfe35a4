"""The routes of this door, for app.py."""

from airfreight.apis.platform import (
    artifacts,
    clients,
    consent,
    devices,
    enrollment_keys,
    groups,
    me,
    oauth,
    organizations,
    products,
    rollouts,
    uploads,
    users,
)

ROUTERS = [
    oauth.router,
    me.router,
    organizations.router,
    users.router,
    clients.router,
    enrollment_keys.router,
    products.router,
    devices.router,
    groups.router,
    consent.router,
    artifacts.router,
    uploads.router,
    rollouts.router,
    rollouts.explain_device,
]
