"""What fills the printed tables of the NeuronXA study."""
