"""What an assignment did, and how it changes while a detector learns."""
