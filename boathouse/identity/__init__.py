"""Who there is: accounts, workspaces, principals, groups and what they are in. Knows no credentials and no
resources."""
