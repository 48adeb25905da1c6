# events.py: makes events.lua, the bytes that the tensorboard package writes for a few events: python events.py >events.lua
import io

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def record(event):
    out = io.BytesIO()
    RecordWriter(out).write(event.SerializeToString())
    return out.getvalue().hex()


def summary(wall, step, **value):
    return record(Event(wall_time=wall, step=step, summary=Summary(value=[Summary.Value(**value)])))


# 30 equal buckets from least to greatest, one for equal values; as float64, in the order of operations of events.c
def histogram(values):
    least, greatest = (min(values), max(values)) if values else (0.0, 0.0)
    width = greatest / 30 - least / 30
    n = 30 if width > 0 else 1
    limits = [least + width * (k + 1) for k in range(n - 1)] + [greatest]
    counts = [0.0] * n
    for v in values:
        counts[int(min((v - least) / width, n - 1)) if width > 0 else 0] += 1
    return HistogramProto(min=least, max=greatest, num=len(values), sum=sum(values),
                          sum_squares=sum(v * v for v in values), bucket_limit=limits, bucket=counts)


rows = {
    "version": record(Event(wall_time=1690000000.125, file_version="brain.Event:2")),
    "scalar": summary(1690000000.125, 300, tag="train/loss", simple_value=0.1),
    "inf": summary(1, 0, tag="loss", simple_value=float("inf")),
    "histogram": summary(2, -1, tag="w", histo=histogram([-1.0, 0.0, 0.5, 2.0])),
    "same": summary(2, 5, tag="same", histo=histogram([3.0, 3.0])),
    "empty": summary(2, 5, tag="empty", histo=histogram([])),
}
print("-- events.lua: records as the tensorboard package writes them, in hexadecimal; made by events.py.")
print("return {")
for name, text in rows.items():
    parts = [text[i:i + 100] for i in range(0, len(text), 100)]
    print('  %s = "%s",' % (name, '"\n    .. "'.join(parts)))
print("}")
