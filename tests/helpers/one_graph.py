"""An update's loss and gradients from one compiled graph, against eager ones."""

import torch

from ganzoo.assembly.pipeline import SIDES
from ganzoo.engine.engine import only
from ganzoo.engine.losses import losses


def check_one_graph(built, batch, latents, *, sides=SIDES, backend="aot_eager"):
    """Values, gradients and buffers of each side's update are the same, compiled as one graph."""
    torch._dynamo.reset()
    buffers = [buffer for part in built.parts.sections().values() for buffer in part.buffers()]
    before = [buffer.clone() for buffer in buffers]
    for side in sides:
        net, other = built.parts.net(side), built.parts.net(SIDES[side == SIDES[0]])
        function, found = losses(built.parts, side), []
        compiled = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
        for run in (function, compiled):
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
            torch.manual_seed(0)
            net.zero_grad()
            with only(net, other):
                total, names, values, _ = run(
                    batch, latents, torch.tensor(0.3), built.parts.due(side, 0)
                )
                total.backward()
            grads = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
            state = [buffer.clone() for buffer in buffers]
            found.append((names, values, torch.cat(grads), state))
        (names, values, gradient, state), (names_2, values_2, gradient_2, state_2) = found
        assert names == names_2
        assert gradient.any()
        torch.testing.assert_close(values_2, values, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(state_2, state, rtol=1e-4, atol=1e-6)
        assert torch.dist(gradient, gradient_2) <= 1e-4 * gradient.norm() + 1e-9, side
