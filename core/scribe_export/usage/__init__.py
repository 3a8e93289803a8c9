"""What delivering costs: the units that services charge for, and their list prices."""
