"""The DDI door: what clients made for hawkBit speak, `/{tenant}/controller/v1/{controllerId}`."""
