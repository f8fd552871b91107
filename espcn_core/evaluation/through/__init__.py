"""Isotropic volumes are made thick along one axis and thin again, and compared with what they were."""
