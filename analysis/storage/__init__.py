"""Where runs lie, and what their files say of themselves: no row is read here."""
