"""The native operator API: organizations, users, API clients, products, devices, artifacts, rollouts."""
