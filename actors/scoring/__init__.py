"""What a written text is worth: answers, translations, and in which language it is written."""
