"""The sandbox: a made-up hospital and its EHR, to try the gateway with. It speaks the real protocols, nothing else."""
