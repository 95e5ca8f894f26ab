import pytest
import torch
from assigners.learned.negatives import add_positives, negative_loss, set_last_positives
from onenet import Predictions

LABELS = torch.tensor([[1, 0, 1]])
VALUES = torch.tensor([[[0.8, 0.0, 0.3], [0.5, 0.5, -2.0], [0.2, 0.0, 0.0]]])


def plain(logits, quality, positive):
    """The formula, for float64."""
    score = logits.sigmoid()
    if quality is not None:
        score = score * quality.sigmoid()[..., None]
    q = (1 - positive.transpose(1, 2)) * score
    return (q.square() * -torch.log1p(-q)).sum()


@pytest.mark.parametrize("with_quality", [False, True])
def test_loss_and_gradients(with_quality):
    logits = 6 * torch.randn(2, 50, 7)
    quality = 6 * torch.randn(2, 50) if with_quality else None
    positive = torch.rand(2, 7, 50).clamp(min=0.3) - 0.3
    leaves = [x.requires_grad_() for x in (logits, quality) if x is not None]
    loss = negative_loss(Predictions(logits, logits[..., :4], quality), [positive])
    exact = [x.detach().double().requires_grad_() for x in leaves]
    expected = plain(*exact, *([] if with_quality else [None]), positive.double())
    torch.testing.assert_close(loss, expected.float())
    grads = torch.autograd.grad(loss, leaves)
    for grad, other in zip(grads, torch.autograd.grad(expected, exact), strict=True):
        torch.testing.assert_close(grad, other.float(), rtol=1e-4, atol=1e-6)


def test_a_certain_mistake_is_still_pulled_down():
    logits = torch.full((1, 1, 1), 30.0, requires_grad=True)  # a score of 1 in float32
    loss = negative_loss(Predictions(logits, logits, None), [torch.zeros(1, 1, 1)])
    torch.testing.assert_close(loss.item(), 30.0)
    loss.backward()
    torch.testing.assert_close(logits.grad.item(), 1.0)


def test_of_several_objects_the_largest_value_counts():
    positive = torch.zeros(1, 3, 3)
    add_positives(positive, LABELS, VALUES)
    expected = torch.tensor([[[0.5, 0.5, 0], [0.8, 0, 0.3], [0, 0, 0]]])
    assert torch.equal(positive, expected)


def test_of_several_objects_the_last_value_counts():
    positive = torch.zeros(1, 3, 3)
    set_last_positives(positive, LABELS, VALUES)
    expected = torch.tensor([[[0.5, 0.5, 0], [0.2, 0, 0.3], [0, 0, 0]]])
    assert torch.equal(positive, expected)
