"""loky.reusable_executor."""

from remuda import _reusable


class _ReusablePoolExecutor(_reusable._ReusablePoolExecutor):
    """As remuda's, with loky's default encoder."""

    _default_encoder = "auto"

    @classmethod
    def get_reusable_executor(cls, max_workers=None, context=None, timeout=10,
                              kill_workers=False, reuse="auto", job_reducers=None,
                              result_reducers=None, initializer=None, initargs=(), env=None):
        """(executor, whether it was there before)."""
        arguments = {"context": context, "timeout": timeout, "job_reducers": job_reducers,
                     "result_reducers": result_reducers, "initializer": initializer,
                     "initargs": initargs, "env": env, "address": None}
        return _reusable.reusable(cls, max_workers, reuse, kill_workers, arguments)


def get_reusable_executor(max_workers=None, context=None, timeout=10, kill_workers=False,
                          reuse="auto", job_reducers=None, result_reducers=None,
                          initializer=None, initargs=(), env=None):
    """As remuda's, with loky's default encoder."""
    return _reusable.get_reusable_executor(
        max_workers, context, timeout, kill_workers, reuse, job_reducers, result_reducers,
        initializer, initargs, env, _class=_ReusablePoolExecutor)


__all__ = ["_ReusablePoolExecutor", "get_reusable_executor"]
