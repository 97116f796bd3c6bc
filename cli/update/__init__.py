"""Updates: before, during and after Pulumi's own commands."""
