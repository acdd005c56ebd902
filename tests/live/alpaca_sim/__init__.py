"""A trader and a broker as two processes, faults between them, and a judge who reads the broker's books."""
