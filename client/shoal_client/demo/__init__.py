"""What ``shoal demo`` needs beside the client: photographs and a server of its own."""
