"""The specification table: the right row of the ablation beside each gain, and an honest verdict."""

import pytest

from core.errors import UserError
from core.evaluation.specification_table import (
    BEGIN,
    END,
    POOR_BEGIN,
    POOR_END,
    SPECIFIED,
    main,
    put_into,
    specification_table,
)
from core.evaluation.statistics import METRICS

HEADER = (
    "group,clip,metric,unit,goal,comparison,base,variant,base_value,value,gain,low,high,relative_gain,verdict,clips"
)
ROWS = (
    "self-reenactment,all,psnr,dB,up,all,off,all,25,27,2.0,1.0,3.0,0.08,better,6",
    "self-reenactment,d0,psnr,dB,up,all,off,all,25,20,-5.0,-6.0,-4.0,-0.2,worse,1",
    "self-reenactment,all,psnr,dB,up,temporal,off,temporal,25,26,9.0,8.0,10.0,0.04,better,6",
    "self-reenactment,all,ssim,,up,all,off,all,0.8,0.808,0.008,-0.004,0.02,0.01,none,6",
    "self-reenactment,all,lpips,,down,all,off,all,nan,nan,nan,nan,nan,nan,not measured,0",
    "self-reenactment,all,speed,,up,all,off,all,1,0.8,-0.2,-0.25,-0.15,-0.2,worse,6",
    '"self-reenactment, tracking noise 0",all,psnr,dB,up,all,off,all,20,21,1.0,0.5,1.5,0.05,better,6',
    '"self-reenactment, tracking noise 0",all,psnr,dB,up,true all,off,true all,20,23,3.0,2.5,3.5,0.15,better,6',
    '"self-reenactment, tracking noise 0",d0,psnr,dB,up,true all,off,true all,20,29,9.0,2.5,3.5,0.45,better,1',
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    return tmp_path


def row(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {label} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_gain_has_its_metric():
    assert {gain.metric for gain in SPECIFIED} <= {metric.key for metric in METRICS}
    assert len(SPECIFIED) == 8


def test_gains_and_verdicts(folder):
    text = specification_table(folder / "table.csv")
    assert row(text, "PSNR")[1:] == [
        *("+1.50 dB", "+2.00 dB [+1.00 dB, +3.00 dB]", "reached"),
        *("+1.00 dB [+0.50 dB, +1.50 dB]", "not reached", "+3.00 dB"),
    ]
    assert row(text, "")[2:] == ["self-reenactment", "", "self-reenactment, with tracking noise", "", "at most"]
    assert row(text, "SSIM")[-1] == "-"  # the oracle's is not there
    assert row(text, "SSIM")[1:4] == ["+3.5 %", "+1.0 % [-0.5 %, +2.5 %]", "not reached"]
    assert row(text, "LPIPS, lower")[2:4] == ["not available", "cannot be measured here"]
    assert row(text, "frames per second")[1:4] == ["-26.2 %", "-20.0 % [-25.0 %, -15.0 %]", "reached"]
    assert row(text, "detail fidelity")[3] == "cannot be measured here"  # the row is not there


def test_what_an_oracle_does_not_reach_is_out_of_reach(folder):
    group = '"self-reenactment, poor driver 0",all'
    lines = [
        HEADER,
        f"{group},psnr,dB,up,all,off,all,20,20.1,0.1,0,0.2,0,none,6",
        f"{group},psnr,dB,up,true all,off,true all,20,23,3.0,2.5,3.5,0.15,better,6",
        f"{group},psnr,dB,up,best smoothing,off,best smoothing,20,20.4,0.4,0.3,0.5,0.02,better,6",
        f"{group},ssim,,up,all,off,all,0.8,0.8,0.0,0,0,0,none,6",
        f"{group},ssim,,up,true all,off,true all,0.8,0.82,0.02,0.01,0.03,0.02,better,6",
        f"{group},ssim,,up,best smoothing,off,best smoothing,0.8,0.84,0.04,0.03,0.05,0.05,better,6",
        f"{group},speed,,up,all,off,all,1,0.5,-0.5,-0.5,-0.5,-0.5,worse,6",
        f"{group},speed,,up,true all,off,true all,1,0.5,-0.5,-0.5,-0.5,-0.5,worse,6",
    ]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    text = specification_table(folder / "table.csv", poor=True)
    assert row(text, "")[3:] == ["", "at most", "filtered"]
    assert row(text, "PSNR")[3:] == ["out of a filter's reach", "+3.00 dB", "+0.40 dB"]
    assert row(text, "SSIM")[3:] == ["out of reach", "+2.5 %", "+5.0 %"]
    assert row(text, "frames per second")[3:] == ["not reached", "-", "-"]


def test_the_table_is_put_between_the_marks(folder, capsys):
    document = folder / "doc.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main([str(folder), "--into", str(document)]) == 0
    text = document.read_text()
    assert text == f"before\n{BEGIN}\n\n{specification_table(folder / 'table.csv')}\n\n{END}\nafter\n"
    assert "old" not in text
    put_into(document, "again")
    assert document.read_text().count(BEGIN) == 1


def test_poor_conditions_have_a_table_of_their_own(folder, capsys):
    kept = specification_table(folder / "table.csv")
    lines = (
        (folder / "table.csv").read_text()
        + ROWS[0].replace("self-reenactment", '"self-reenactment, poor photo 0"')
        + "\n"
    )
    (folder / "table.csv").write_text(lines)
    assert specification_table(folder / "table.csv") == kept
    document = folder / "doc.md"
    document.write_text(f"{BEGIN}\nold\n{END}\n{POOR_BEGIN}\nold\n{POOR_END}\n")
    assert main([str(folder), "--poor", "--into", str(document)]) == 0
    table = specification_table(folder / "table.csv", poor=True)
    assert document.read_text() == f"{BEGIN}\nold\n{END}\n{POOR_BEGIN}\n\n{table}\n\n{POOR_END}\n"
    assert row(table, "")[2:] == ["self-reenactment, poor photo", ""]


def test_what_is_missing_is_said(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "run the ablation first" in capsys.readouterr().err
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    assert main([str(tmp_path)]) == 2
    (tmp_path / "bare.md").write_text("nothing")
    with pytest.raises(UserError, match="no place"):
        put_into(tmp_path / "bare.md", "x")
