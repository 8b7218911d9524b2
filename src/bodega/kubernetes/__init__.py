"""What any pod with a store needs, whatever makes the pod: how tasks are deployed, quantities, names, the image."""
