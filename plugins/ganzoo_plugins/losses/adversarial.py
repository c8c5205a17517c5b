"""Adversarial losses over logits [n]; D is the discriminator's logit, sigma the logistic function.

log sigma(x) = -softplus(-x) and log(1 - sigma(x)) = -softplus(x) hold exactly and never overflow.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus

from ganzoo.contracts import Loss, Step


class Minimax(Loss):
    """The zero-sum game: the generator minimises what the
    discriminator maximises (Goodfellow et al. 2014, eq. 1).

    Its generator learns little while the discriminator rejects its samples with confidence.
    """

    labels = True

    def discriminator(self, step: Step) -> Tensor:
        """-log sigma(D(real)) - log(1 - sigma(D(fake))), averaged."""
        return softplus(-step.real_logits).mean() + softplus(step.fake_logits).mean()

    def generator(self, step: Step) -> Tensor:
        """log(1 - sigma(D(fake))), averaged."""
        return -softplus(step.fake_logits).mean()


class NonSaturating(Minimax):
    """Cross-entropy in which the generator maximises log
    D of its samples (Goodfellow et al. 2014, section 3).
    """

    def generator(self, step: Step) -> Tensor:
        """-log sigma(D(fake)), averaged."""
        return softplus(-step.fake_logits).mean()


class LeastSquares(Loss):
    """Squared distance of the logits to 1 for real and 0 for fake (Mao et al. 2017, eq. 9)."""

    labels = True

    def discriminator(self, step: Step) -> Tensor:
        """(D(real) - 1)² / 2 + D(fake)² / 2, averaged."""
        return ((step.real_logits - 1).square().mean() + step.fake_logits.square().mean()) / 2

    def generator(self, step: Step) -> Tensor:
        """(D(fake) - 1)² / 2, averaged."""
        return (step.fake_logits - 1).square().mean() / 2


class Wasserstein(Loss):
    """The difference of mean logits, for a discriminator
    held Lipschitz otherwise (Arjovsky et al. 2017, eq. 2).
    """

    def discriminator(self, step: Step) -> Tensor:
        """D(fake) - D(real), averaged."""
        return step.fake_logits.mean() - step.real_logits.mean()

    def generator(self, step: Step) -> Tensor:
        """-D(fake), averaged."""
        return -step.fake_logits.mean()


class Hinge(Loss):
    """Margins of one on either side for the discriminator,
    its plain logit for the generator (Lim and Ye 2017).
    """

    def discriminator(self, step: Step) -> Tensor:
        """max(0, 1 - D(real)) + max(0, 1 + D(fake)), averaged."""
        return relu(1 - step.real_logits).mean() + relu(1 + step.fake_logits).mean()

    def generator(self, step: Step) -> Tensor:
        """-D(fake), averaged."""
        return -step.fake_logits.mean()


class RelativisticPairing(Loss):
    """Each real sample is to look more real than its fake
    partner (Jolicoeur-Martineau 2019; Huang et al. 2024).

    The batch pairs sample i with fake i; no logit has a
    target of its own. Converges locally with r1 or r2.
    """

    def discriminator(self, step: Step) -> Tensor:
        """-log sigma(D(real) - D(fake)), averaged over pairs."""
        return softplus(step.fake_logits - step.real_logits).mean()

    def generator(self, step: Step) -> Tensor:
        """-log sigma(D(fake) - D(real)), averaged over pairs."""
        return softplus(step.real_logits - step.fake_logits).mean()
