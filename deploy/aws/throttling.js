// How many requests the stage lets in. The framework has no word for that, makes the stage with the
// deployment, and gives the deployment another name each time.
module.exports = async ({ resolveVariable }) => {
  const deployment = `ApiGatewayDeployment${await resolveVariable("sls:instanceId")}`;
  const number = async (name) => Number(await resolveVariable(`self:custom.${name}`));
  return {
    extensions: {
      [deployment]: {
        Properties: {
          StageDescription: {
            ThrottlingRateLimit: await number("requestsPerSecond"),
            ThrottlingBurstLimit: await number("requestBurst"),
          },
        },
      },
    },
  };
};
