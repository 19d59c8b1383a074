"""One gradual rollout by Airflow, with the operator of apache-airflow-providers-papermill.

The notebook records its run itself. Papermill calls a notebook a success whenever no cell raised; here the state of the
task is the verdict's:

===========================  =========  ==========================================================
exit code of `runbooks run`  task       meaning
===========================  =========  ==========================================================
0                            success    promoted, soaking, or complete
10, 30                       skipped    holds or is paused; sees nothing
20, 40, 50, no verdict       failed     rolled back, or due and not done; refused; may have changed; died
===========================  =========  ==========================================================

The kernel ``runbooks`` is a Jupyter kernel of this project's own virtual environment, so that Airflow's packages and
ours never meet. It inherits the worker's variables: RUNBOOKS_CONFIG, RUNBOOKS_OPERATOR and the secrets.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.papermill.operators.papermill import PapermillOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from runbook_verdict import exit_code, read_record, run_folder

ROOT = Path(os.environ.get("RUNBOOKS_CONFIG", "/opt/runbooks/runbooks.toml")).parent
NO_ALARM = {10: "it holds", 30: "it sees nothing"}


class RunbookOperator(PapermillOperator):
    """Executes a runbook's notebook; the task ends as the verdict says."""

    def execute(self, context: Any) -> str:
        """Give the folder of the run, as the task's value.

        Raises:
            AirflowSkipException: nothing for a person to do.
            AirflowFailException: a person should look; never retried.
        """
        notebook = Path(super().execute(context).url)
        folder = run_folder(notebook)
        if folder is None:
            raise AirflowFailException(f"the notebook reached no verdict: {notebook}")
        record = read_record(folder)
        code = exit_code(record)
        headline = f"exit {code}: {(record['verdict'] or {}).get('headline', 'no verdict')}; {folder}/report.html"
        if code in NO_ALARM:
            raise AirflowSkipException(f"{NO_ALARM[code]}; {headline}")
        if code:
            raise AirflowFailException(headline)
        self.log.info(headline)
        return str(folder)


with DAG(
    dag_id="gradual_rollout_enhanced_cache",
    description="Promotes ENHANCED_CACHE on production stage by stage, holds, or rolls it back",
    schedule="7,22,37,52 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    # What was missed is one longer pause to the rollout; a second execution at once would be refused.
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=35),
    tags=["runbooks"],
) as dag:
    RunbookOperator(
        task_id="gradual_rollout",
        input_nb=str(ROOT / "notebooks/deployment/gradual_rollout.ipynb"),
        output_nb="/tmp/{{ dag.dag_id }}.ipynb",  # noqa: S108 - a copy, overwritten; the record is in runs/
        parameters={"environment": "production", "feature": "ENHANCED_CACHE", "confirm": "auto"},
        kernel_name="runbooks",
        language_name="python",
        # The next execution is the retry: it looks at what is, and goes on from there.
        retries=0,
        execution_timeout=timedelta(minutes=30),
    )
