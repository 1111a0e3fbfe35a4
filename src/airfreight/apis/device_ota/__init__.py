"""The Device OTA door: one binary for one device, which asks for it. Source: the Device OTA pages."""
