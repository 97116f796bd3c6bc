"""The images of services: built, pushed, known by digest."""
