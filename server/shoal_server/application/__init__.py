"""What Shoal does, told in terms of the domain and of ports."""
