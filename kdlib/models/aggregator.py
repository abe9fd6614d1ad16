"""The aggregator of the sequential settings: two BiLSTM layers and attention (Table 3)."""

from torch import Tensor, nn

from kdlib.device import autocast

ACTIVATIONS = {"relu": nn.ReLU, "none": nn.Identity}
NORMS = {"layer": nn.LayerNorm, "none": nn.Identity}


class Aggregator(nn.Module):
    """From the embeddings of the segments to one embedding of the recording, of the same size.

    PyTorch's LSTM has no ReLU inside, so Table 3's ReLU is taken on each layer's output, or with
    ``activation`` "none" left out. With ``norm`` "layer" the input and each LSTM's output are
    normalised (Ba et al. 2016): else differences between recordings shrink tenfold on their way
    through the two layers, and short trainings do not find them. The attention is additive
    (Bahdanau et al. 2015): a weighted mean with weights softmax(v · tanh(W h)). All of it is in
    its weights' own type: under autocast torch 2.11 runs an LSTM on CUDA in float16, whose range is
    too small for its gradients.
    """

    def __init__(self, embedding: int, activation: str = "relu", norm: str = "none"):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.LSTM(embedding, embedding // 2, batch_first=True, bidirectional=True)
            for _ in range(2)
        )
        self.activation = ACTIVATIONS[activation]()
        self.norms = nn.ModuleList(NORMS[norm](embedding) for _ in range(3))
        self.attention = nn.Sequential(
            nn.Linear(embedding, embedding // 2),
            nn.Tanh(),
            nn.Linear(embedding // 2, 1, bias=False),
        )

    def forward(self, segments: Tensor) -> Tensor:
        """Return ``(batch, embedding)`` of ``(batch, segments, embedding)``."""
        with autocast(segments.device):
            hidden = self.norms[0](segments.to(self.attention[0].weight.dtype))
            for layer, norm in zip(self.layers, self.norms[1:]):
                hidden = self.activation(norm(layer(hidden)[0]))  # (batch, segments, embedding)
            weights = self.attention(hidden).softmax(dim=1)  # (batch, segments, 1)
            return (weights * hidden).sum(dim=1)
