"""The study of size against accuracy on Fashion-MNIST, a proxy for ImageNet."""
