"""What `python -m care_keras.train` is made of."""
