"""The real schedule in a made-up world, in virtual time, beside the obvious ways."""
