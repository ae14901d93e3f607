"""Questions between papers: what one study's rows say of another's."""
