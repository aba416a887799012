"""Ways to find groups and to change how many there are: one step a file, arrays in, arrays out."""
