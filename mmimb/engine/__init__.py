"""What training and testing do besides parsing arguments. Import the modules directly."""
