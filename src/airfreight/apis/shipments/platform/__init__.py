"""The endpoints that stand next to the shipments, for scripts that manage the rest through the same door."""
