"""The door for gateways: packages, and campaigns that bring them out in steps. Words and shapes are its contract's."""
