"""Load shedding: which readings a bridge lets go when a deployment says so, and the account that it gives of them."""
