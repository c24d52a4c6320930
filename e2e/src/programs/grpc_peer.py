"""A gRPC server and client of PyPI's grpcio, for scenarios: `grpc_peer.py serve PORT` and
`grpc_peer.py call HOST:PORT`, which makes calls of every kind and says `all well` at the end.
Messages are plain bytes: no generated code is needed."""

import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "shop.Echo"
# Long beside every answer, short beside a test that hangs.
PATIENCE = 20


class Echo(grpc.GenericRpcHandler):
    def __init__(self):
        self.cancelled = threading.Event()

    def service(self, call):
        if not call.method.startswith(f"/{SERVICE}/"):
            return None
        unary, server = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        client, both = grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        return {
            "Unary": unary(lambda request, context: self.unary(request, context)),
            "Fails": unary(self.fails),
            "Slow": unary(self.slow),
            "Server": server(lambda request, context: (b"%d" % n for n in range(int(request)))),
            "Client": client(lambda requests, context: b"%d" % sum(int(r) for r in requests)),
            "Both": both(lambda requests, context: (b"=" + r for r in requests)),
            "Endless": server(self.endless),
            "Cancelled": unary(self.was_cancelled),
        }.get(call.method.rsplit("/", 1)[1])

    def unary(self, request, context):
        context.set_trailing_metadata((("x-trailer", "told"),))
        return request[::-1]

    def fails(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")

    def slow(self, request, context):
        time.sleep(PATIENCE)
        return request

    def endless(self, request, context):
        context.add_callback(self.cancelled.set)
        number = 0
        while context.is_active():
            yield b"%d" % number
            number += 1
            time.sleep(0.01)

    def was_cancelled(self, request, context):
        return b"yes" if self.cancelled.wait(PATIENCE) else b"no"


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[Echo()])
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


def status_of(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r} where {wanted!r} was expected")


def call(target):
    with grpc.insecure_channel(target) as channel:
        unary = lambda name: channel.unary_unary(f"/{SERVICE}/{name}")
        answer, made = unary("Unary").with_call(b"abc", timeout=PATIENCE)
        expect("unary", answer, b"cba")
        expect("trailers", dict(made.trailing_metadata()).get("x-trailer"), "told")
        large = b"x" * 3_000_000
        expect("a large message", unary("Unary")(large, timeout=PATIENCE), large)
        many = [unary("Unary").future(b"%d" % n, timeout=PATIENCE) for n in range(200)]
        for number, one in enumerate(many):
            expect("one of many", one.result(), (b"%d" % number)[::-1])

        expect("failure", status_of(unary("Fails"), b"", timeout=PATIENCE),
               (grpc.StatusCode.FAILED_PRECONDITION, "not now"))
        expect("no such method", status_of(unary("None"), b"", timeout=PATIENCE)[0],
               grpc.StatusCode.UNIMPLEMENTED)
        began = time.monotonic()
        expect("deadline", status_of(unary("Slow"), b"", timeout=0.5)[0],
               grpc.StatusCode.DEADLINE_EXCEEDED)
        if time.monotonic() - began > PATIENCE / 2:
            sys.exit("the deadline came late")

        numbers = list(channel.unary_stream(f"/{SERVICE}/Server")(b"500", timeout=PATIENCE))
        expect("server stream", numbers, [b"%d" % n for n in range(500)])
        summed = channel.stream_unary(f"/{SERVICE}/Client")
        expect("client stream", summed(iter([b"1"] * 500), timeout=PATIENCE), b"500")

        # Each message is sent when the answer to the one before has come.
        turn = threading.Semaphore(1)
        def questions():
            for number in range(100):
                turn.acquire()
                yield b"%d" % number
        answers = channel.stream_stream(f"/{SERVICE}/Both")(questions(), timeout=PATIENCE)
        for number, answer in enumerate(answers):
            expect("both ways", answer, b"=%d" % number)
            turn.release()
        expect("answers both ways", number, 99)

        endless = channel.unary_stream(f"/{SERVICE}/Endless")(b"", timeout=PATIENCE)
        expect("the endless", [next(endless) for _ in range(3)], [b"0", b"1", b"2"])
        endless.cancel()
        expect("cancelled at the server", unary("Cancelled")(b"", timeout=PATIENCE), b"yes")
    print("all well")


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](sys.argv[2])
