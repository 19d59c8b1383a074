"""The deployment notebook: the site answers, its own tests run, its metrics move."""

import pytest
from notebook_runs import cell_text, newest_record

RUN = ("run", "deployment", "-e", "sandbox", "-p", "release=v1.4.0", "-p", "test_labels=accounts.tests.test_accounts")
SIGN = ("checklist", "v1.4.0", "-e", "sandbox", "--sign", "deploy.staging", "--by", "Anna Ng", "--note", "build 812")


@pytest.mark.timeout(120)
def test_deployment_notebook_runs_the_sites_tests_and_is_ok_once_a_person_has_signed(at_sandbox):
    """Signed first, then measured: all four items are done, and the next phase is named."""
    assert at_sandbox.run(*SIGN).returncode == 0

    done = at_sandbox.run(*RUN)

    record = newest_record(at_sandbox)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deployment of v1.4.0: 4 of 4 done" in done.stdout
    assert "runbooks run post_deployment --environment sandbox -p release=v1.4.0" in done.stdout
    assert "5 tests passed in " in cell_text(at_sandbox, record, "tests")
    assert "Ran 5 tests in " in cell_text(at_sandbox, record, "tests")
    assert "version sandbox" in cell_text(at_sandbox, record, "answers")
    assert "12 metrics of 2 processes as they must be" in cell_text(at_sandbox, record, "metrics")
    assert "signed by Anna Ng from " in cell_text(at_sandbox, record, "checklist")
