"""How principals prove who they are: keys of the server, tokens, OAuth, and the authenticator that the edge is
handed."""
