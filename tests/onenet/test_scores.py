import pytest
import torch
from onenet.scores import joint_logit

LOGITS = torch.tensor([-200.0, -30, -5, -1, 0, 2, 8, 30, 200], dtype=torch.float64)
PAIRS = torch.cartesian_prod(LOGITS, LOGITS)


def test_logit_of_the_product():
    usual = PAIRS.abs().amax(dim=1) < 10
    a, b = PAIRS[usual].unbind(1)
    expected = (a.sigmoid() * b.sigmoid()).logit()
    torch.testing.assert_close(joint_logit(a, b), expected, rtol=1e-9, atol=1e-9)


def test_single_precision_is_exact_at_the_ends():
    """Where the product itself would be 0 or 1."""
    a, b = PAIRS.unbind(1)
    exact = joint_logit(a, b)
    single = joint_logit(a.float(), b.float()).double()
    torch.testing.assert_close(single, exact, rtol=1e-6, atol=1e-6)
    confident = torch.full((), 200.0)
    assert joint_logit(confident, confident) == pytest.approx(200 - 0.6931, rel=1e-5)
    assert joint_logit(-confident, -confident) == -400


def test_gradient_is_that_of_the_product_and_finite():
    a, b = PAIRS.clone().requires_grad_().unbind(1)
    (grad,) = torch.autograd.grad(joint_logit(a, b).sum(), b)
    assert grad.isfinite().all() and ((grad >= 0) & (grad <= 1 + 1e-12)).all()
    # d logit(p q) / db = (1 - q) / (1 - p q)
    usual = PAIRS.abs().amax(dim=1) < 10
    p, q = PAIRS[usual].sigmoid().unbind(1)
    torch.testing.assert_close(grad[usual], (1 - q) / (1 - p * q))
