"""What is measured of tesserae, and where their pixels are."""
