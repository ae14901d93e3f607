"""A tokenizer, checked against its file, and texts and chats as token ids."""
