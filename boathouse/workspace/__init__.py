"""What belongs to a workspace besides compute: its switches, its secrets, and sealed values for other rooms."""
