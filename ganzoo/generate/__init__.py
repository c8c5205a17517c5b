"""Drawing samples from a trained generator: pictures, and the generator file."""
