"""The Shipments door: `/api/v1/organization/shipment*` and `/api/upload`, exactly as its contract has them."""
