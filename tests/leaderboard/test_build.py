"""`cscbench leaderboard build`: the command, the same bytes each time, runs beside the entries."""

from cscbench.leaderboard.boards import find_board


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_board_is_built_twice_to_the_same_bytes(cscbench, filled, tmp_path):
    first = cscbench("leaderboard", "build", "--board", "test", "--out", "one")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("one/index.html: 4 entries, ")
    assert cscbench("leaderboard", "build", "--board", "test", "--out", "two").returncode == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert b"30.7" in files(tmp_path / "one")["data/board.csv"]  # retrieval's accuracy


def test_runs_are_shown_beside_entries_without_being_added(cscbench, filled, runs, tmp_path):
    done = cscbench("leaderboard", "build", "--board", "test", "--run", runs["retrieval en"], "--run", runs["gold"])
    assert done.returncode == 0, done.stderr
    assert "site/index.html: 5 entries" in done.stdout  # gold is there already
    assert len([*filled.glob("entries/*.json")]) == 4
    assert (tmp_path / "site" / "models" / f"{runs['retrieval en'].name}.html").exists()


def test_the_papers_board_is_built_without_its_data(cscbench, tmp_path):
    done = cscbench("leaderboard", "build", "--board", "csconv")
    assert (done.returncode, done.stderr) == (0, "")
    board, _ = find_board("csconv")
    assert board.title.zh in (tmp_path / "site" / "data" / "board.js").read_text(encoding="utf-8")


def test_a_folder_that_is_no_site_is_left_alone(cscbench, filled, tmp_path):
    mine = tmp_path / "site" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work", encoding="utf-8")
    done = cscbench("leaderboard", "build", "--board", "test")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert mine.read_text(encoding="utf-8") == "years of work"
