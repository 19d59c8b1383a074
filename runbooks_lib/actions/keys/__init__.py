"""Many keys at once: cleared or given an expiry in small steps, watched all the way."""
