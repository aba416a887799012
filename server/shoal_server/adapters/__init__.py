"""What stands behind the ports: one vendor a module, none knows another."""
