"""What a page is made of: exhibits as data, tables, prose and the engine that fills them."""
