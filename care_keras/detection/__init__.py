"""What detection is made of: anchors, their assignment, the loss, and boxes out of outputs."""
