"""The account plane: workspaces, who is assigned to them, roles, settings, audit, usage and budgets. Knows no clusters."""
