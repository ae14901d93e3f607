"""What only the page of the CLAS study needs."""
