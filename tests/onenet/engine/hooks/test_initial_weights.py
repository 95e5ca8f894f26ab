import torch
from detectron2.modeling import build_model
from onenet.engine import Checkpointer, Trainer
from onenet.engine.hooks.initial_weights import FILE_NAME


def test_a_run_keeps_the_weights_it_started_with(digits_cfg, tmp_path):
    (tmp_path / "output").mkdir()
    trainer = Trainer(digits_cfg)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.resume_or_load(resume=False)
    trainer.train()
    file = tmp_path / "output" / FILE_NAME
    saved = torch.load(file, weights_only=True)["model"]
    assert saved.keys() == before.keys()
    assert all(torch.equal(saved[name], before[name]) for name in before)
    Checkpointer(build_model(digits_cfg)).load(str(file))  # they fit the model

    modified = file.stat().st_mtime_ns
    resumed = Trainer(digits_cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == digits_cfg.SOLVER.MAX_ITER  # the file is not taken for the last
    resumed.train()
    assert file.stat().st_mtime_ns == modified
